"""Defines a typical FastAPI route: a Pydantic model comes in and goes out."""

from fastapi import FastAPI
from pydantic import BaseModel


class Item(BaseModel):
    """Describes an article."""

    name: str
    price: float
    tags: list[str] = []


app = FastAPI()


@app.post("/items")
async def create(item: Item) -> Item:
    """Return the item."""
    return item
