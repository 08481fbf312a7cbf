"""The work of site.yml for pyinfra, operation by operation."""

from io import StringIO

from pyinfra import host, inventory
from pyinfra.facts.server import Kernel, LinuxDistribution
from pyinfra.operations import files, server

SETTINGS = {"port": 8080, "workers": 4, "motto": "up and away"}
distribution = host.get_fact(LinuxDistribution)

server.group(name="a group for the service", group="shop", system=True)
server.user(name="a user for the service", user="shop", group="shop", system=True, shell="/usr/sbin/nologin",
            ensure_home=False)
for admin in ("ada", "grace", "edsger"):
    server.user(name=f"admin {admin}", user=admin, shell="/bin/bash")
files.directory(name="the folder of settings", path="/etc/shop", mode="755")
files.directory(name="the folder of data", path="/var/lib/shop", user="shop", group="shop", mode="750")
files.directory(name="the folder of logs", path="/var/log/shop", user="shop", group="adm", mode="750")
files.template(name="settings", src="templates/pyinfra.conf.j2", dest="/etc/shop/shop.conf", mode="640", group="shop",
               settings=SETTINGS)
files.put(name="the service's program", src="files/shop.sh", dest="/usr/local/bin/shop", mode="755")
files.put(name="a banner", src=StringIO(f"{host.name} runs {distribution['name']}\n"), dest="/etc/motd", mode="644")
files.template(name="rotation of logs", src="templates/logrotate.j2", dest="/etc/logrotate-shop.conf", mode="644",
               settings=SETTINGS, service_user="shop")
files.line(name="a line of the environment", path="/etc/environment", line="^SHOP_PORT=.*",
           replace=f"SHOP_PORT={SETTINGS['port']}")
files.line(name="root may not log in by password", path="/etc/ssh/sshd_config", line="^#?PermitRootLogin.*",
           replace="PermitRootLogin prohibit-password")
files.block(name="names of others", path="/etc/hosts.shop", try_prevent_shell_expansion=True,
            content="\n".join(other.name for other in inventory))
files.replace(name="an old name goes", path="/etc/hosts.shop", text="old-shop", replace="shop")
files.link(name="a link to the settings", path="/etc/shop.conf", target="/etc/shop/shop.conf")
files.file(name="no leftovers", path="/etc/shop.old", present=False)
kernel = host.get_fact(Kernel)
server.shell(name="is the program there", commands=["test -x /usr/local/bin/shop"])
files.put(name="when settings were written", src=StringIO(f"{distribution['major']}\n"), dest="/var/lib/shop/written",
          mode="644")
