FROM python:3.11-slim as builder
WORKDIR /app
RUN pip install uv
COPY pyproject.toml uv.lock .
RUN uv pip install --no-cache-dir -r <(uv pip compile pyproject.toml)
# Final stage
FROM python:3.11-slim
WORKDIR /app
COPY --from=builder /usr/local/lib/python3.11/site-packages /usr/local/lib/python3.11/site-packages
COPY . .
CMD ["python", "-m", "uvicorn", "main:app", "--host", "0.0.0.0", "--port", "8000"]
