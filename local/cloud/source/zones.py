"""The 265 synthetic taxi zones, in the format of the TLC's lookup table, with its oddities."""

from __future__ import annotations

from local.cloud.source.draws import Draws, Ints, weighted

UNKNOWN, OUTSIDE = 264, 265
NEWARK_AIRPORT, JFK_AIRPORT, LAGUARDIA_AIRPORT = 1, 132, 138
_AIRPORTS = {NEWARK_AIRPORT: "EWR", JFK_AIRPORT: "Queens", LAGUARDIA_AIRPORT: "Queens"}

# Weights of the zones where most yellow and green trips begin; all other zones have a few.
_BUSY_YELLOW = {
    **{237: 450, 236: 410, 161: 400, 162: 360, 186: 355, 230: 355, 170: 315, 48: 310, 142: 310, 234: 310, 132: 270},
    **{239: 265, 163: 255, 141: 245, 79: 240, 138: 240, 68: 230, 107: 220, 238: 210, 263: 200, 164: 190, 249: 180},
    **{229: 180, 140: 170, 231: 165, 100: 150, 43: 145, 137: 140, 246: 135, 90: 120, 113: 110, 233: 110, 143: 105},
    **{114: 95, 148: 90, 262: 90, 50: 80, 158: 70, 151: 65, 264: 150, 75: 60, 74: 60, 41: 50, 13: 60, 87: 55},
}
_BUSY_GREEN = {
    **{74: 880, 75: 830, 41: 550, 42: 375, 244: 370, 95: 275, 97: 240, 166: 250, 65: 185, 43: 165, 61: 160, 7: 155},
    **{130: 145, 116: 140, 82: 140, 25: 120, 181: 120, 129: 110, 152: 110, 260: 100, 33: 95, 236: 90, 49: 90, 226: 85},
}
YELLOW_PICKUPS = weighted({zone: _BUSY_YELLOW.get(zone, 4) for zone in range(1, 266)})
YELLOW_DROPOFFS = weighted({zone: _BUSY_YELLOW.get(zone, 8) * 3 // 4 + 3 for zone in range(1, 266)})
GREEN_PICKUPS = weighted({zone: _BUSY_GREEN.get(zone, 14) for zone in range(1, 266)})
GREEN_DROPOFFS = weighted({zone: _BUSY_GREEN.get(zone, 56) // 2 + 4 for zone in range(1, 266)})
# Zones of the congestion fee that was introduced in 2025.
CENTER = (
    *(13, 43, 48, 50, 68, 79, 87, 90, 100, 107, 113, 114, 137, 148, 158, 161, 162, 163, 164, 170, 186, 230, 234),
    *(246, 249),
)
AIRPORTS_WITH_FEE = (JFK_AIRPORT, LAGUARDIA_AIRPORT)
ANYWHERE = weighted({zone: 1 if zone in (NEWARK_AIRPORT, UNKNOWN, OUTSIDE) else 20 for zone in range(1, 266)})

_BOROUGHS = ("Bronx", "Brooklyn", "Queens", "Staten Island")
_FIRST = (
    *(
        "Alder",
        "Bay",
        "Birch",
        "Cedar",
        "Clinton",
        "Cooper",
        "Drake",
        "East",
        "Elm",
        "Ferry",
        "Forge",
        "Garden",
        "Grant",
    ),
    *("Harbor", "Hudson", "Iron", "Juniper", "King", "Linden", "Maple", "Mill", "Navy", "North", "Orchard", "Park"),
    *("Prospect", "Quarry", "River", "Saint Anne", "South", "Stone", "Tremont", "Union", "Vine", "West", "Willow"),
)
_SECOND = ("Heights", "Hill", "Park", "Village", "Gardens", "Point", "Square", "Slope", "Basin", "Terrace")


def lookup_csv() -> bytes:
    """Return the lookup table as the TLC publishes it: quoted text, CRLF line ends, an empty line at the end."""
    lines = ['"LocationID","Borough","Zone","service_zone"']
    lines += [f'{zone},"{borough}","{name}","{service}"' for zone, borough, name, service in _rows()]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def _rows() -> list[tuple[int, str, str, str]]:
    busy_green = set(_BUSY_GREEN)
    manhattan = {zone for zone in _BUSY_YELLOW if zone not in busy_green | {*_AIRPORTS, UNKNOWN, OUTSIDE}}
    names = _names(263)
    boroughs: Ints = Draws(265).below(len(_BOROUGHS), 263)
    rows = []
    for zone in range(1, 264):
        name = names[zone - 1]
        if zone in _AIRPORTS:
            service = "EWR" if zone == NEWARK_AIRPORT else "Airports"
            rows.append((zone, _AIRPORTS[zone], f"{name} Airport", service))
        elif zone in manhattan:
            rows.append((zone, "Manhattan", name, "Yellow Zone"))
        else:
            rows.append((zone, _BOROUGHS[boroughs[zone - 1]], name, "Boro Zone"))
    # "N/A" is a text here, although some CSV readers read it as null.
    return [*rows, (UNKNOWN, "Unknown", "N/A", "N/A"), (OUTSIDE, "N/A", "Outside of NYC", "N/A")]


def _names(count: int) -> list[str]:
    """Return ``count`` names in alphabetical order, as the TLC numbers its zones; some have a slash."""
    pairs = [f"{first} {second}" for first in _FIRST for second in _SECOND if first != second]
    chosen = sorted(pairs[index * len(pairs) // count] for index in range(count))
    return [f"{name}/{chosen[index - 7].split()[0]}" if index % 9 == 8 else name for index, name in enumerate(chosen)]
