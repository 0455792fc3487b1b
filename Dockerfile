FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libvirt-dev pkg-config nodejs npm && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements.txt requirements-node.txt ./
RUN python -m venv /app/.venv && /app/.venv/bin/pip install --no-cache-dir -r requirements.txt -r requirements-node.txt
COPY frontend frontend
RUN cd frontend && PATH="/app/.venv/bin:$PATH" sh -c "npm install --no-save --no-audit --no-fund && npm run build" && rm -rf node_modules

FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends libvirt0 openvswitch-switch && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=build /app/.venv /app/.venv
COPY --from=build /app/frontend/dist frontend/dist
COPY manage.py ./
COPY lab lab
COPY portal portal
COPY sdn sdn
COPY tasks tasks
ENV PATH="/app/.venv/bin:$PATH" PYTHONUNBUFFERED=1
RUN install -d -o 10001 -g 10001 -m 0700 /run/hopsight
USER 10001:10001
