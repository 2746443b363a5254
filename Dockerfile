FROM python:3.12-slim
WORKDIR /qnet
COPY . .
RUN pip install --no-cache-dir .
# Compiled kernels are kept where any user may write.
ENV NUMBA_CACHE_DIR=/tmp/qnet-cache
USER 65534
WORKDIR /out
ENTRYPOINT ["qnet"]
CMD ["run", "qingyang"]
