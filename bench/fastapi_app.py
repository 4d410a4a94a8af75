"""A FastAPI route as people write them: a Pydantic model comes in and goes out."""

from fastapi import FastAPI
from pydantic import BaseModel


class Item(BaseModel):
    """Something for sale."""

    name: str
    price: float
    tags: list[str] = []


app = FastAPI()


@app.post("/items")
async def create(item: Item) -> Item:
    """Return the item as it was understood."""
    return item
