"""The keys that cloud-config may have at its top, as cloud-init's module reference knows them.

Source: `properties` of cloud-init's own schema, cloudinit/config/schemas/schema-cloud-config-v1.json (main, 2026; the module
reference at docs.cloud-init.io is written from it). Old and new spellings are both in it. An image whose program is not
cloud-init may read fewer of them: the lab's tiny one does.
"""

from __future__ import annotations

OF_THE_SCHEMA = """
allow_public_ssh_keys ansible apk_repos apt apt_pipelining apt_reboot_if_required apt_update apt_upgrade authkey_hash
autoinstall bootcmd byobu_by_default ca-certs ca_certs chef chpasswd cloud_config_modules cloud_final_modules
cloud_init_modules create_hostname_file device_aliases disable_ec2_metadata disable_piwiz disable_root disable_root_opts
disk_setup drivers enable_rpi_connect fan final_message fqdn fs_setup groups growpart grub-dpkg grub_dpkg hostname keyboard
landscape launch-index locale locale_configfile lxd manage_etc_hosts manage_resolv_conf mcollective merge_how merge_type
migrate mount_default_fields mounts no_ssh_fingerprints ntp output package_reboot_if_required package_update
package_upgrade packages password phone_home power_state prefer_fqdn_over_hostname preserve_hostname puppet random_seed
reporting resize_rootfs resolv_conf rh_subscription rpi_interfaces rpi_userconf rsyslog runcmd salt_minion snap spacewalk
ssh ssh_authorized_keys ssh_deletekeys ssh_fp_console_blacklist ssh_genkeytypes ssh_import_id ssh_key_console_blacklist
ssh_keys ssh_publish_hostkeys ssh_pwauth ssh_quiet_keygen swap system_info timezone ubuntu_advantage ubuntu_pro updates
user users vendor_data version wireguard write_files yum_repo_dir yum_repos zypper
"""
CLOUD_INIT_KEYS = frozenset(OF_THE_SCHEMA.split())
