"""What can be wrong with a service.

ServiceError
├─ Unavailable   this machine lacks something; says what to install. A test that needs it is skipped, unless services
│                are required
└─ EndedError    it was there, and is not any more; brings the end of its log
"""


class ServiceError(Exception):
    """A service does not do what it should."""


class Unavailable(ServiceError):
    """A service cannot run here, and the sentence says what to install."""


class EndedError(ServiceError):
    """A service ended by itself."""
