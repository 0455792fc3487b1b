# Every image of docker-compose.yml, from one Debian base: security updates come from one place, nothing runs as root.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update && apt-get install -y --no-install-recommends \
        ca-certificates gcc gettext libvirt-dev pkg-config python3-dev python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements.txt requirements-node.txt ./
RUN python3 -m venv /app/.venv && .venv/bin/pip install --no-cache-dir --disable-pip-version-check -r requirements.txt
COPY portal/locale portal/locale
RUN for file in portal/locale/*/LC_MESSAGES/*.po; do msgfmt --check-format -o "${file%.po}.mo" "$file" || exit 1; done
COPY frontend frontend
RUN python3 -m venv /node && /node/bin/pip install --no-cache-dir --disable-pip-version-check -r requirements-node.txt \
    && cd frontend && PATH="/node/bin:$PATH" sh -c "npm install --no-save --no-audit --no-fund && npm run build" \
    && rm -rf node_modules /node

FROM ${BASE} AS app
# lldpcli: Debian lets the group adm alone run it, as lldpd's user; here the socket's group says who may.
RUN apt-get update && apt-get install -y --no-install-recommends \
        ca-certificates libvirt0 lldpd openvswitch-switch python3 qemu-utils && rm -rf /var/lib/apt/lists/* \
    && chmod 0755 /usr/sbin/lldpcli
WORKDIR /app
COPY --from=build /app/.venv /app/.venv
COPY --from=build /app/frontend/dist frontend/dist
COPY manage.py ./
COPY lab lab
COPY portal portal
COPY --from=build /app/portal/locale portal/locale
COPY sdn sdn
COPY tasks tasks
ENV PATH="/app/.venv/bin:$PATH" PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m compileall -q lab portal sdn tasks && install -d -o 10001 -g 10001 -m 1777 /run/hopsight /var/lib/hopsight \
        /var/lib/hopsight/images /var/lib/hopsight/labs
USER 10001:10001

FROM app AS lab
USER 0:0
RUN apt-get update && apt-get install -y --no-install-recommends \
        busybox-static cpio curl dropbear-bin ethtool iproute2 iputils-ping kmod libvirt-clients libvirt-daemon-system linux-image-cloud-amd64 nftables \
        openssh-client procps qemu-system-x86 tcpdump zstd && rm -rf /var/lib/apt/lists/*

FROM ${BASE} AS redis
RUN apt-get update && apt-get install -y --no-install-recommends redis-server && rm -rf /var/lib/apt/lists/*
USER redis
CMD ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--dir", "/tmp", "--save", "", "--appendonly", "no"]

FROM ${BASE} AS postgres
RUN apt-get update && apt-get install -y --no-install-recommends postgresql && rm -rf /var/lib/apt/lists/* /var/lib/postgresql/* \
    && install -d -o postgres -g postgres -m 0700 /var/lib/postgresql/data
COPY deploy/postgres /usr/local/bin/serve
USER postgres
CMD ["serve"]

FROM ${BASE} AS front
RUN apt-get update && apt-get install -y --no-install-recommends nginx-light openssl && rm -rf /var/lib/apt/lists/* \
    && install -d -o www-data -g www-data -m 0700 /tls
COPY deploy/nginx.conf /etc/nginx/nginx.conf
COPY deploy/front /usr/local/bin/serve
USER www-data
CMD ["serve"]
