"""The example programme with every feature that a programme document can state, as one document in two revisions.

The limits are so small that the traffic of some dozen accounts meets all of them.
"""

from typing import Final

from tests.flow.conftest import SKYWAYS

TIERS: Final = """
tiers:
  - {id: blue, name: Blue}
  - {id: silver, name: Silver}
  - {id: gold, name: Gold}
segments:
  - {id: students, name: Students}
exclusive:
  - {id: one-of, best: holder}
stacking: add
clawback: exact
posting: clearing
"""

EARNING: Final = """
  # Multipliers that add up, for a tier and for a segment.
  - id: gold-more
    partners: all
    products: all
    multiply: {rules: [base, premium], by: 2}
    when: {tier_from: gold}
    rounding: down
    funder: owner
  - id: student-more
    partners: all
    products: all
    multiply: {rules: [base], by: "1.5"}
    when: {segments: [students]}
    rounding: half-up
    funder: owner

  # Two rules of which the better one for the holder counts.
  - id: either
    partners: all
    products: all
    base: billing
    rate: {miles: 1, per: {EUR: "8.00", USD: "9.00"}}
    exclusive: one-of
    rounding: down
    funder: bank
  - id: instead
    partners: all
    products: all
    bonus: {miles: 6}
    exclusive: one-of
    funder: owner

  # Miles that wait: for some days, for the statement, for a release.
  - id: later
    partners: all
    products: all
    base: transaction
    rate: {miles: 1, per: {EUR: "10.00", USD: "10.00"}}
    posting: {after_days: 3}
    clawback: proportional
    rounding: down
    funder: owner
  - id: by-statement
    partners: all
    products: all
    bonus: {miles: 2}
    when: {weekdays: [monday, tuesday, wednesday, thursday]}
    posting: statement
    funder: owner
  - id: on-word
    partners: all
    products: all
    bonus: {miles: 3}
    when: {opted_in: true}
    posting: release
    funder: owner

  # What a period comes to.
  - id: monthly
    partners: all
    products: all
    base: billing
    rate: {miles: 1, per: {EUR: "30.00", USD: "33.00"}}
    accumulate: {over: month}
    rounding: down
    funder: owner
  - id: hundreds
    partners: all
    products: all
    base: billing
    bonus: {miles: 20}
    every: {amount: {EUR: "100.00", USD: "110.00"}, over: month}
    funder: owner
  - id: third-visit
    partners: all
    products: all
    bonus: {miles: 9}
    every: {purchases: 3, over: week, times: 2}
    funder: owner

  # Persons, and an expression.
  - id: long-standing
    partners: all
    products: all
    bonus: {miles: 4}
    when: {member_for: {at_least_months: 2}}
    funder: owner
  - id: birthday
    partners: all
    products: all
    bonus: {miles: 40}
    when: {birthday: {days_before: 20, days_after: 20}}
    funder: owner
  - id: invited
    partners: all
    products: all
    bonus: {miles: 7}
    when: {listed: true}
    funder: owner
  - id: expressed
    partners: all
    products: all
    bonus: {miles: 5}
    when: {expression: "(weekday < 6 && amount_minor >= 2000) || currency != billing_currency"}
    funder: owner

  - id: expressed-member
    partners: all
    products: all
    bonus: {miles: 1}
    when: {expression: "'students' in member.segments || member.tier == 'gold'"}
    funder: owner

  # What a limit may cut.
  - id: scarce
    partners: all
    products: all
    base: billing
    rate: {miles: 1, per: {EUR: "1.00", USD: "1.10"}}
    rounding: down
    funder: owner
  - id: paid-for
    partners: all
    products: [alpha-gold, alpha-classic]
    base: billing
    rate: {miles: 1, per: {EUR: "2.00"}}
    rounding: down
    funder: bank
  - id: first-ones
    partners: all
    products: all
    bonus: {miles: 11}
    funder: owner
  - id: watched
    partners: all
    products: all
    bonus: {miles: 8}
    funder: owner
  - id: by-card
    partners: all
    products: all
    bonus: {miles: 10}
    funder: owner

"""

DISCOUNTS: Final = """
  - id: till-four
    mode: at-the-till
    partners: [volt]
    products: [beta-platinum, beta-blue]
    percent: "4"
    base: transaction
    rounding: down
    funder: owner
  - id: hotel-money
    partners: [harbor-hotel, harbor-grill]
    products: all
    amounts: {EUR: "2.00", USD: "2.50"}
    base: transaction
    funder: bank
  - id: every-sixty
    partners: all
    products: [alpha-gold, alpha-classic]
    amounts: {EUR: "1.50"}
    every: {amount: {EUR: "60.00"}, over: month, times: 5}
    base: billing
    funder: bank

entitlements:
  - {id: lounge, name: Lounge visit, kind: counted, price: {amount: "18.00", currency: EUR}}
  - {id: club, name: Club, kind: status}
rewards:
  - id: lounge-visits
    partners: all
    products: all
    entitlement: lounge
    count: 2
    valid: {days: 365}
    when: {amounts: {EUR: {from: "30.00"}, USD: {from: "30.00"}}}
    funder: bank
  - id: club-status
    partners: [harbor-hotel]
    products: all
    entitlement: club
    valid: end-of-year
    funder: owner
  - id: visits-lounge
    partners: all
    products: all
    entitlement: lounge
    every: {purchases: 2, over: month}
    funder: owner
fees:
  - id: desk-fee
    partners: [trattoria-uno]
    products: all
    share: "80"
    base: billing
    rounding: half-even
    when: {amounts: {EUR: {from: "60.00"}, USD: {from: "60.00"}}}
"""

LIMITS: Final = """
  - {id: few-later, rules: [later], period: week, miles: 12}
  - {id: hundreds-most, rules: [hundreds], period: month, miles: 60}
  - {id: one-card, rules: [by-card], period: day, miles: 10, per: card}
  - {id: some-visits, rules: [invited], period: month, purchases: 2}
  - {id: paid-quarter, rules: [paid-for], period: quarter, amount: "2.00", currency: EUR}
  - {id: visits-most, rules: [lounge-visits], period: year, count: 6}

budgets:
  - {id: pool, rules: [scarce], miles: 2500}
  - {id: purse, rules: [paid-for], period: month, amount: "6.00", currency: EUR, at_edge: refuse}
  - {id: places, rules: [first-ones], holders: 9}
  - {id: moda-money, rules: [moda-five], amount: "15.00", currency: EUR}

velocity:
  - {id: burst, rules: [watched], awards: 1, within: {hours: 24}}
"""

SECOND_FROM: Final = "2026-11-06T00:00:00+00:00"
"""When the second revision comes into force: in the middle of the month before the day of the tests."""

_CHANGES: Final = {
    "effective_from: 2026-01-01T00:00:00+01:00": f"effective_from: {SECOND_FROM}",
    'rate: {miles: 1, per: {EUR: "2.00", USD: "2.20"}}\n    rounding: down                      # 3.99': (
        'rate: {miles: 2, per: {EUR: "3.00", USD: "3.50"}}\n    rounding: down                      # 3.99'
    ),
    'mile_price: "0.0080"': 'mile_price: "0.0090"',
    "posting: {after_days: 3}": "posting: {after_days: 2}",
    "bonus: {miles: 6}": "bonus: {miles: 9}",
    "miles: 60}": "miles: 40}",
}


def _replaced(text: str, before: str, after: str) -> str:
    assert 1 == text.count(before), (text.count(before), before)
    return text.replace(before, after)


def first_document(*, ledger: str) -> str:
    """Return the first revision, with the miles ledger ``here`` or at its ``owner``."""
    text = (SKYWAYS / "programme.yaml").read_text()
    text = _replaced(text, "\ndiscounts:\n", f"{EARNING}\ndiscounts:\n")
    text = _replaced(text, "\ncaps:\n", f"{DISCOUNTS}\ncaps:\n")
    text = _replaced(text, "\nearning:\n", f"{TIERS}\nearning:\n")
    for currency, day in (("EUR                       # what its cards", 9), ("USD\n    cut_off", 24)):
        text = _replaced(text, f"    currency: {currency}", f"    statement_day: {day}\n    currency: {currency}")
    if ledger == "owner":
        text = _replaced(text, "  decimals: 0 ", "  ledger: owner\n  accruals: {by: file}\n  decimals: 0 ")
    else:
        text = _replaced(text, "    clawback: proportional\n", "    clawback: proportional\n    spent: write-off\n")
    return f"{text}{LIMITS}"


def second_document(*, ledger: str) -> str:
    """Return the second revision: other rates, prices, times and caps."""
    text = first_document(ledger=ledger)
    for before, after in _CHANGES.items():
        text = _replaced(text, before, after)
    return text
