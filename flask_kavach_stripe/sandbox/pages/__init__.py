"""The hosted pages and the dashboard: plain HTML, no JavaScript.

A module for each subject; importing it adds its views to :data:`bp`. They read the
request, call the same objects as the API, and render: what may be done, and what it
costs, is not decided here.

A view that changes something answers a POST with a redirect (303), or shows the form
again with the reason of a refusal and its status. Forms of other sites are refused by
the app.
"""

from . import checkout_pages as checkout_pages
from . import dashboard as dashboard
from . import fault_buttons as fault_buttons
from . import invoice_pages as invoice_pages
from . import portal_pages as portal_pages
from . import three_d_secure as three_d_secure
from .blueprint import bp as bp
