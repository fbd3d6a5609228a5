from dotenv import load_dotenv
import os

from fastapi import FastAPI

load_dotenv()

DATABASE_URL = os.getenv("DATABASE_URL", "sqlite:///local.db")
API_KEY = os.getenv("API_KEY")

if not API_KEY:
    raise ValueError("API_KEY environment variable is required")

app = FastAPI()


@app.get("/")
async def root():
    return {"message": "Hello, World!"}
