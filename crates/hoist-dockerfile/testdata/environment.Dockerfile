FROM python:3.11-slim
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
ENV DATABASE_URL=postgresql://localhost/myapp
ENV LOG_LEVEL=INFO
CMD ["python", "-m", "uvicorn", "main:app", "--host", "0.0.0.0"]
