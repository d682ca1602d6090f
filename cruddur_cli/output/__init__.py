"""Shows results on stdout and tells everything else on stderr; the only package that imports rich."""

from .live import progress as progress
from .show import Draw as Draw
from .show import chat as chat
from .show import details as details
from .show import difference as difference
from .show import entities as entities
from .show import findings as findings
from .show import inbox as inbox
from .show import page as page
from .show import people as people
from .show import plain as plain
from .show import show as show
from .show import show_pages as show_pages
from .show import stats as stats
from .show import used as used
from .show import when as when
from .show import write as write
from .stderr import ask as ask
from .stderr import done as done
from .stderr import fail as fail
from .stderr import note as note
from .stderr import summary as summary
from .stderr import tell as tell
from .stderr import unchanged as unchanged
from .stderr import warn as warn
from .streams import is_terminal as is_terminal
