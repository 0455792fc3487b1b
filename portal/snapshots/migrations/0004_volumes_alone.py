import uuid

import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.state import StateApps


def give_uuids(apps: StateApps, _editor: BaseDatabaseSchemaEditor) -> None:
    """A default is asked for once for all rows that are there."""
    rows = apps.get_model("snapshots", "SnapshotVolume").objects
    for pk in rows.values_list("pk", flat=True):
        rows.filter(pk=pk).update(uuid=uuid.uuid4())


class Migration(migrations.Migration):

    dependencies = [
        ('snapshots', '0003_plan_problem'),
        ('volumes', '0003_layers'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='snapshotvolume',
            name='uuid',
            field=models.UUIDField(default=uuid.uuid4, editable=False, null=True),
        ),
        migrations.RunPython(give_uuids, migrations.RunPython.noop),
        migrations.AlterField(
            model_name='snapshotvolume',
            name='uuid',
            field=models.UUIDField(default=uuid.uuid4, editable=False, unique=True),
        ),
        migrations.AlterField(
            model_name='snapshotvolume',
            name='snapshot',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='volumes', to='snapshots.snapshot'),
        ),
        migrations.AddField(
            model_name='snapshotvolume',
            name='name',
            field=models.CharField(blank=True, default='', help_text='of one that stands alone', max_length=63),
        ),
        migrations.AddField(
            model_name='snapshotvolume',
            name='state',
            field=models.CharField(choices=[('taking', 'Being taken'), ('there', 'There'), ('deleting', 'Deleting')], default='there', max_length=10),
        ),
        migrations.AddField(
            model_name='snapshotvolume',
            name='created_by',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name='snapshotvolume',
            name='created_at',
            field=models.DateTimeField(default=django.utils.timezone.now),
        ),
        migrations.AddConstraint(
            model_name='snapshotvolume',
            constraint=models.UniqueConstraint(condition=models.Q(('snapshot', None)), fields=('volume', 'name'), name='snapshot_name_per_volume'),
        ),
        migrations.AddConstraint(
            model_name='snapshotvolume',
            constraint=models.CheckConstraint(condition=models.Q(('snapshot', None), ('name', ''), _connector='XOR'), name='moment_has_one_name'),
        ),
    ]
