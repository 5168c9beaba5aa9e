# docker build --tag=llmproxy .
# docker run -p 127.0.0.1:3000:3000 -e OPENAI_API_KEY llmproxy
#
# Configured by the environment alone, or by a file mounted at /data/llmproxy.yaml. It listens on the port in
# PROXY_API_PORT at all addresses of the container, whatever the file says.

FROM python:3.13-slim AS build
WORKDIR /source
COPY scripts/requirements.txt scripts/requirements.txt
RUN python -m venv --without-pip /opt/llmproxy \
    && python -m pip --python /opt/llmproxy install --no-cache-dir --disable-pip-version-check \
    --require-hashes --only-binary :all: -r scripts/requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY llmproxy llmproxy
ARG COMMIT=""
ARG BUILT=""
RUN printf '{"commit": "%s", "built": "%s"}\n' "$COMMIT" "$BUILT" > llmproxy/build.json \
    && python -m pip --python /opt/llmproxy install --no-cache-dir --disable-pip-version-check \
    --no-deps --no-build-isolation --no-index .

FROM python:3.13-slim
LABEL org.opencontainers.image.title="llmproxy" org.opencontainers.image.licenses="MIT"
COPY --from=build /opt/llmproxy /opt/llmproxy
RUN install --directory --owner 65532 --group 65532 /data
ENV PATH=/opt/llmproxy/bin:$PATH HOME=/data PYTHONDONTWRITEBYTECODE=1 PROXY_API_HOST=0.0.0.0 PROXY_API_PORT=3000
WORKDIR /data
USER 65532:65532
EXPOSE 3000
# The program handles signals itself, as the first process of the container too.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 CMD ["python", "-c", "\
import http.client, os, sys; \
connection = http.client.HTTPConnection('127.0.0.1', int(os.environ['PROXY_API_PORT']), timeout=4); \
connection.request('GET', '/livez'); \
sys.exit(connection.getresponse().status != 200)"]
ENTRYPOINT ["llmproxy"]
CMD ["serve"]
