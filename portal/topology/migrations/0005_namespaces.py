from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('topology', '0004_lldp_neighbours'),
    ]

    operations = [
        migrations.AddField(
            model_name='hostseen',
            name='namespaces',
            field=models.JSONField(help_text='portal.topology.namespaces, none until the collector looked', null=True),
        ),
    ]
