"""What guests were seen to use: hints beside the addresses that we gave. Rows of these are observed, never asked for."""

from __future__ import annotations

from django.db import models


class HintSource(models.TextChoices):
    """Who said that the guest uses the address. All but the agent's are packets that port security refused."""

    AGENT = "agent", "its guest agent says so"
    ARP = "arp", "it claims it in ARP"
    ND = "nd", "it claims it in neighbour discovery"
    IP = "ip", "it sends from it"


class AddressHint(models.Model):
    """One address that a port's guest was seen with, by one source, and when first and last."""

    port = models.ForeignKey("networks.Port", on_delete=models.CASCADE, related_name="hints")
    address = models.GenericIPAddressField()
    source = models.CharField(max_length=5, choices=HintSource.choices)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField(db_index=True)

    class Meta:
        ordering = ["port_id", "id"]
        constraints = [models.UniqueConstraint(fields=["port", "address", "source"], name="one_hint_per_source")]
