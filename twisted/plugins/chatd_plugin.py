"""Tells twistd that there is a service ``chatd``; imports nothing of it."""

from twisted.application.service import ServiceMaker

chatd = ServiceMaker(
    name="chatd",
    module="chatd.tap",
    description="A message daemon that anyone can talk to with nc.",
    tapname="chatd",
)
