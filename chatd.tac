"""chatd as a twistd application file, with every option at its default.

Run it with ``twistd -ny chatd.tac`` where chatd is installed; copy and edit it where
command-line options are not enough.
"""

from twisted.application import service

from chatd.tap import Options, makeService

options = Options()
options.parseOptions([])

application = service.Application("chatd")
makeService(options).setServiceParent(application)
