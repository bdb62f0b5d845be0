# The page of the workbench; see docs/deployment.md. tests/test_container.py runs these steps without Docker.
FROM python:3.12-slim

# bubblewrap confines model-written code; where the host forbids it inside containers, Landlock takes its place.
RUN apt-get update \
    && apt-get install -y --no-install-recommends bubblewrap \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 workbench \
    && install -d -o workbench /data

ARG PIP_EXTRA_INDEX_URL
WORKDIR /src
COPY requirements.txt ./
RUN pip install --no-cache-dir -r requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY kernels ./kernels
COPY workbench ./workbench
RUN pip install --no-cache-dir --no-deps .

USER workbench
WORKDIR /data
VOLUME /data
EXPOSE 7860
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/')"]
# Others can reach it, so it wants WORKBENCH_AUTH=NAME:PASSWORD, or --replay DIR instead of --run.
CMD ["sdpo-workbench", "app", "--host", "0.0.0.0", "--run", "/data/demo"]
