from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('backups', '0003_volumes'),
    ]

    operations = [
        migrations.AddField(
            model_name='backupplan',
            name='problem',
            field=models.CharField(blank=True, default='', help_text='why one that is due is not taken', max_length=300),
        ),
    ]
