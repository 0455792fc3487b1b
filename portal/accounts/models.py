"""People and teams. A team owns everything; a person belongs to teams with a role."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.db import models
from django.utils.translation import gettext_lazy as _

from portal.config.kept_query import KeptQuery

_PERSON: KeptQuery[User] = KeptQuery(lambda pk: User.objects.filter(pk=pk))


class People(UserManager["User"]):
    """Django's manager of users; who makes a request is asked for by `get(pk=…)`, and read by SQL that is written once."""

    use_in_migrations = False

    def get(self, *args: Any, **kwargs: Any) -> User:
        """The person. Raises User.DoesNotExist."""
        is_plain = type(self) is People and not args and kwargs.keys() == {"pk"} and isinstance(kwargs["pk"], int)
        if is_plain and (rows := _PERSON(kwargs["pk"])):  # a relation's manager is of a class made of this one
            return rows[0]
        return super().get(*args, **kwargs)


class User(AbstractUser):
    """A person. `is_operator` may see and run hosts; it gives no right over teams' objects."""

    objects: ClassVar[People] = People()
    is_operator = models.BooleanField(default=False)
    language = models.CharField(
        max_length=10, blank=True, help_text="of settings.LANGUAGES; empty: as the browser asks"
    )
    time_zone = models.CharField(
        max_length=64, blank=True, help_text="an IANA name, such as Europe/Berlin; empty: as the browser tells"
    )
    vm_columns = models.CharField(
        max_length=200, blank=True, help_text="of the list of VMs, by comma; empty: the usual ones"
    )
    service_of = models.ForeignKey(
        "Team",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="services",
        help_text="a service account's team: it has tokens, and no log-in",
    )


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    MEMBER = "member", _("Member")
    VIEWER = "viewer", _("Viewer")


class Team(models.Model):
    """Owner of VMs and networks. The quota columns are limits; use is summed from the rows under this row's lock."""

    name = models.CharField(max_length=60, unique=True)
    slug = models.SlugField(max_length=60, unique=True)
    max_vcpus = models.PositiveIntegerField(default=16)
    max_ram_mib = models.PositiveIntegerField(default=8192)
    max_disk_gib = models.PositiveIntegerField(default=100)
    max_vms = models.PositiveIntegerField(default=20)
    needs_second_factor = models.BooleanField(
        default=False, help_text="members without one reach nothing until they have it"
    )
    max_volumes = models.PositiveIntegerField(default=20)
    max_volume_gib = models.PositiveIntegerField(default=100)
    max_networks = models.PositiveIntegerField(default=100)
    max_floating_addresses = models.PositiveIntegerField(default=50)
    max_snapshots = models.PositiveIntegerField(default=100)
    max_vm_vcpus = models.PositiveIntegerField(default=64)
    max_vm_ram_mib = models.PositiveIntegerField(default=262_144)
    max_vm_disk_gib = models.PositiveIntegerField(default=2048)
    members: models.ManyToManyField[User, Membership] = models.ManyToManyField(
        User, through="Membership", related_name="teams"
    )

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "team"], name="one_role_per_person_and_team")]


class Invitation(models.Model):
    """A link into a team. The link's secret is shown once; its SHA-256 is kept."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="invitations")
    role = models.CharField(max_length=10, choices=Role.choices, default=Role.MEMBER)
    digest = models.CharField(max_length=64, unique=True)
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]


class ApiToken(models.Model):
    """A key to the API of a person or a service account, with their rights as far as its scopes go (`scopes`), in all of their
    teams or in one. The secret's SHA-256 is kept."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=60)
    digest = models.CharField(max_length=64, unique=True)
    hint = models.CharField(max_length=12, help_text="the secret's first characters, to tell tokens apart")
    scopes = models.JSONField(default=list, help_text="names of portal.accounts.scopes")
    team = models.ForeignKey(Team, on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    @property
    def can_write(self) -> bool:
        """Whether it changes anything at all."""
        return any(scope != "read" for scope in self.scopes)


class LogIn(models.Model):
    """A session as its person sees it: where from, with what, since when. The key is Django's session's."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="log_ins")
    session_key = models.CharField(max_length=40, unique=True)
    address = models.CharField(max_length=45, blank=True)
    agent = models.CharField(max_length=200, blank=True)
    method = models.CharField(max_length=80, blank=True, help_text='"password, authenticator app", "passkey", …')
    created_at = models.DateTimeField(auto_now_add=True)
    seen_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-seen_at"]


class AccessPolicy(models.Model):
    """One row: what the operators ask of everybody."""

    operators_need_second_factor = models.BooleanField(default=False)


class AuditHead(models.Model):
    """One row: the last link of the audit's chain. Its row lock puts the rows in one order."""

    last_id = models.PositiveBigIntegerField(default=0)
    hash = models.CharField(max_length=64, default="")


class AuditRow(models.Model):
    """Who changed what, from what to what. Rows are only added; `hash` covers the row and the hash before it.

    Names are kept as text, so that a row still says who and what when those are gone.
    """

    id = models.PositiveBigIntegerField(primary_key=True)
    at = models.DateTimeField()
    team_id = models.BigIntegerField(null=True, db_index=True)
    actor = models.CharField(max_length=150)
    action = models.CharField(max_length=40, help_text='"vm.create", "member.role", …')
    object_type = models.CharField(max_length=20)
    object_id = models.CharField(max_length=40, db_index=True)
    object_name = models.CharField(max_length=150)
    before = models.JSONField(null=True)
    after = models.JSONField(null=True)
    address = models.CharField(max_length=45, blank=True)
    request_id = models.CharField(max_length=40, blank=True)
    reason = models.CharField(max_length=200, default="", blank=True, help_text="why, in its person's words")
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["-id"]

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("audit rows are never changed")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("audit rows are never removed")
