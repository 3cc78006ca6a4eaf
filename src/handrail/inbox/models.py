"""Endpoints and stored messages, as far as a page may show them.

Secrets and bodies are not here: no browser gets near a secret, and a body is read by
`queries.read_body`, which asks the database whether the reader may.
"""

from django.db import models

from handrail.organizations.models import Organization


class WebhookEndpoint(models.Model):
    """Where webhooks arrive; `key` is the last part of the address."""

    id = models.UUIDField(primary_key=True, db_default=models.Func(function="uuidv7"))
    key = models.TextField()
    kind = models.TextField()
    scheme = models.TextField(null=True)  # noqa: DJ001 - null: it sends no webhooks
    organization = models.ForeignKey(
        Organization, null=True, on_delete=models.DO_NOTHING, related_name="webhook_endpoints"
    )
    provider_id = models.UUIDField(null=True)
    previous_secret_ends_at = models.DateTimeField(null=True)
    refused_count = models.BigIntegerField(default=0)
    last_refused_at = models.DateTimeField(null=True)
    last_refused_reason = models.TextField(default="")
    repeated_count = models.BigIntegerField(default=0)
    archived_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        managed = False
        db_table = "webhook_endpoints"

    def __str__(self) -> str:
        return self.key


class WebhookEvent(models.Model):
    """One message as it came, and what became of it."""

    id = models.UUIDField(primary_key=True)
    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.DO_NOTHING, related_name="events"
    )
    organization = models.ForeignKey(
        Organization, null=True, on_delete=models.DO_NOTHING, related_name="webhook_events"
    )
    provider_id = models.UUIDField(null=True)
    event_id = models.TextField()
    digest = models.BinaryField()
    content_type = models.TextField()
    received_at = models.DateTimeField()
    sent_at = models.DateTimeField(null=True)
    status = models.TextField()
    reason = models.TextField()
    kind = models.TextField()
    match_external_id = models.TextField(null=True)  # noqa: DJ001 - null: nobody knows yet
    attempts = models.IntegerField()
    next_attempt_at = models.DateTimeField()
    applied_at = models.DateTimeField(null=True)

    class Meta:
        managed = False
        db_table = "webhook_events"

    def __str__(self) -> str:
        return self.event_id


class WebhookEventConflict(models.Model):
    """A message with the id of a stored one and other bytes."""

    id = models.UUIDField(primary_key=True)
    webhook_event = models.ForeignKey(
        WebhookEvent, on_delete=models.DO_NOTHING, related_name="conflicts"
    )
    organization = models.ForeignKey(
        Organization, null=True, on_delete=models.DO_NOTHING, related_name="webhook_conflicts"
    )
    digest = models.BinaryField()
    content_type = models.TextField()
    received_at = models.DateTimeField()
    dismissed_at = models.DateTimeField(null=True)
    dismissed_by_id = models.UUIDField(null=True, db_column="dismissed_by")
    dismissed_reason = models.TextField(null=True)  # noqa: DJ001 - null: not dismissed

    class Meta:
        managed = False
        db_table = "webhook_event_conflicts"


class WebhookEventDecision(models.Model):
    """What a person decided about an event; append-only."""

    id = models.UUIDField(primary_key=True)
    webhook_event = models.ForeignKey(
        WebhookEvent, on_delete=models.DO_NOTHING, related_name="decisions"
    )
    organization = models.ForeignKey(
        Organization, null=True, on_delete=models.DO_NOTHING, related_name="webhook_decisions"
    )
    decision = models.TextField()
    from_status = models.TextField()
    from_reason = models.TextField()
    reason = models.TextField()
    actor_id = models.UUIDField(null=True)
    decided_at = models.DateTimeField()

    class Meta:
        managed = False
        db_table = "webhook_event_decisions"
