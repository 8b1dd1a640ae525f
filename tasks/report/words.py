"""Figures as a person reads them, in the report and on the dashboard."""

from datetime import datetime

from cnn_model.results import Interval

MINUTE, HOUR = 60, 3600


def percent(share: float, digits: int = 1) -> str:
    """A share as per cent: 0.8412 is "84.1 %". The space is one that does not break."""
    return f"{100 * share:.{digits}f}\u00a0%"


def surety(probability: float) -> str:
    """A probability as per cent with one decimal, never rounded to a certainty: "<0.1 %", ">99.9 %"."""
    if probability < 0.001:
        return "<" + percent(0.001)
    return ">" + percent(0.999) if probability > 0.999 else percent(probability)


def interval(estimate: Interval, digits: int = 1) -> str:
    """An interval as per cent: "83.4 to 84.8 %"."""
    return f"{100 * estimate.low:.{digits}f} to {percent(estimate.high, digits)}"


def points(difference: float, digits: int = 2) -> str:
    """A difference of shares in points, with its sign: 0.0021 is "+0.21", no difference "0.00"."""
    return signed(100 * difference, digits)


def signed(value: float, digits: int = 4) -> str:
    """A difference with its sign and a true minus: "+0.0021", "\u22120.0021"; what is rounded to nothing has none."""
    text = f"{abs(value):.{digits}f}"
    if not float(text):
        return text
    return ("+" if value > 0 else "\u2212") + text


def probability(p_value: float) -> str:
    """A p-value: "0.034"; below a thousandth "<0.001"."""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}"


def day(when: datetime) -> str:
    """A day as "21 Nov 2026"."""
    return f"{when.day} {when:%b %Y}"


def digits_for(num_images: int) -> int:
    """Decimals that so many images carry: one image in 10,000 is 0.01 %."""
    return 2 if num_images >= 5000 else 1


def duration(seconds: float) -> str:
    """Seconds as "0.4 s", "42 s", "3 min 07 s" or "2 h 05 min"."""
    whole = round(seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}\u00a0s"
    if whole < MINUTE:
        return f"{whole}\u00a0s"
    if whole < HOUR:
        return f"{whole // MINUTE}\u00a0min {whole % MINUTE:02d}\u00a0s"
    return f"{whole // HOUR}\u00a0h {whole % HOUR // MINUTE:02d}\u00a0min"


def size(size_bytes: int | None) -> str:
    """Bytes as "812 MiB" or "1.4 GiB"; a dash where there is no figure."""
    if size_bytes is None:
        return "\u2013"
    mebibytes = size_bytes / 2**20
    return f"{mebibytes / 1024:.1f}\u00a0GiB" if mebibytes >= 1000 else f"{mebibytes:,.0f}\u00a0MiB"


def number(count: int) -> str:
    """A count with thousands apart: "50,000"."""
    return f"{count:,}"


def option(value: object) -> str:
    """An option's value without Python's own words."""
    if isinstance(value, list | tuple):
        return ", ".join(option(item) for item in value)
    if value is None:
        return "not set"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def moment(iso: str) -> str:
    """An ISO 8601 time as "21 November 2026, 07:01 UTC"; what is none, unchanged."""
    try:
        when = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    return f"{when.day} {when:%B %Y, %H:%M} {when.tzname() or ''}".rstrip()
