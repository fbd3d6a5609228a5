import signal
import asyncio
from contextlib import asynccontextmanager

from fastapi import FastAPI

shutdown_event = asyncio.Event()


def handle_shutdown(signum, frame):
    print(f"Received signal {signum}, shutting down gracefully...")
    shutdown_event.set()


signal.signal(signal.SIGTERM, handle_shutdown)
signal.signal(signal.SIGINT, handle_shutdown)


@asynccontextmanager
async def lifespan(app: FastAPI):
    yield
    await shutdown_event.wait()
    print("Cleanup complete, exiting")


app = FastAPI(lifespan=lifespan)
