from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("volumes", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="pool",
            name="source",
            field=models.CharField(
                blank=True,
                default="",
                help_text="where on the network: pools of one source are one storage",
                max_length=300,
            ),
        ),
    ]
