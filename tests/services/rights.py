"""Rights of a user on the brokers."""

from collections.abc import Iterable

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)
from running import until

ASK_S = 60.0


def granted(admin: AdminClient, user: str, on: ResourceType, name: str, operations: Iterable[AclOperation]) -> None:
    """Give rights; they are in force when this returns, as the broker has heard of what its controller noted."""
    what = (on, name, ResourcePatternType.LITERAL, f"User:{user}", "*")
    rights = [(*what, operation, AclPermissionType.ALLOW) for operation in operations]
    for future in admin.create_acls([AclBinding(*right) for right in rights]).values():
        future.result(ASK_S)
    for right in rights:
        until(
            lambda right=right: admin.describe_acls(AclBindingFilter(*right)).result(ASK_S),  # type: ignore[misc]
            f"{user} to have the right",
            ASK_S,
        )


def withdrawn(admin: AdminClient, on: ResourceType, name: str) -> None:
    """Take every right on it from all."""
    everyone = (None, None, AclOperation.ANY, AclPermissionType.ANY)
    for future in admin.delete_acls([AclBindingFilter(on, name, ResourcePatternType.LITERAL, *everyone)]).values():
        future.result(ASK_S)
