import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('snapshots', '0004_volumes_alone'),
        ('volumes', '0004_luns'),
    ]

    operations = [
        migrations.AddField(
            model_name='snapshotvolume',
            name='is_scheduled',
            field=models.BooleanField(default=False, help_text="of one that stands alone: its volume's plan took it"),
        ),
        migrations.AlterField(
            model_name='snapshotplan',
            name='vm',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='snapshot_plan', to='compute.vm'),
        ),
        migrations.AddField(
            model_name='snapshotplan',
            name='volume',
            field=models.OneToOneField(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='snapshot_plan', to='volumes.volume'),
        ),
        migrations.AddConstraint(
            model_name='snapshotplan',
            constraint=models.CheckConstraint(condition=models.Q(('vm', None), ('volume', None), _connector='XOR'), name='plan_is_of_one_thing'),
        ),
    ]
