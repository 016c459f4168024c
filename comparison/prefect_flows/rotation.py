"""Gives the server another key for its secrets, for which Prefect has no command.

While the server still has the old key, :func:`take` reads and deletes all blocks, because what it cannot decrypt it can
neither change nor delete. After its start with the new key, :func:`put_back` saves them, with new ids; what refers to
one by its id, such as an automation that posts to a webhook, has to be saved again.
"""

from __future__ import annotations

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import BlockDocumentCreate
from prefect.client.schemas.objects import BlockDocument


async def take(client: PrefectClient) -> list[BlockDocument]:
    """Read all blocks with their secrets, and delete them; until they are put back, they are in memory only."""
    documents: list[BlockDocument] = []
    while page := await client.read_block_documents(offset=len(documents), include_secrets=True):
        documents += page
    for each in documents:
        await client.delete_block_document(each.id)
    return documents


async def put_back(client: PrefectClient, documents: list[BlockDocument]) -> None:
    """Save the blocks with the same names and values."""
    for each in documents:
        same = BlockDocumentCreate(
            name=each.name, data=each.data, block_schema_id=each.block_schema_id, block_type_id=each.block_type_id
        )
        await client.create_block_document(same, include_secrets=False)
