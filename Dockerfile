# qnet with everything that its emulation needs: Open vSwitch, Mininet, os-ken, capture and load tools.
# Versions are pinned to those that qnet is tested with; Debian 12 keeps them.
FROM python:3.11-slim-bookworm
RUN apt-get update \
    && apt-get install --yes --no-install-recommends \
        openvswitch-switch=3.1.* mininet=2.3.* iproute2 ethtool iperf3 iputils-ping tshark \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /qnet
COPY . .
RUN pip install --no-cache-dir '.[emulate]' 'os-ken==4.2.2' 'scapy==2.8.0'
# Compiled kernels are kept where any user may write; a volume there keeps them from run to run.
RUN mkdir --mode 1777 /var/cache/qnet
ENV NUMBA_CACHE_DIR=/var/cache/qnet HOME=/tmp
USER 65534
WORKDIR /out
ENTRYPOINT ["qnet"]
CMD ["run", "qingyang"]
