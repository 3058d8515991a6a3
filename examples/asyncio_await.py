"""Awaits results in asyncio: the event loop stays free while every core is busy.

Prints:

    3524578
    [610, 987, 1597, 2584]
    the loop went on meanwhile: True
"""

import asyncio

from manycore import Cluster


def fibonacci(n: int) -> int:
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


async def main(cluster: Cluster) -> None:
    beats = 0

    async def heart() -> None:
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.01)

    beating = asyncio.create_task(heart())
    print(await cluster.submit(fibonacci, 33))
    print(await asyncio.gather(*(cluster.submit(fibonacci, n) for n in (15, 16, 17, 18))))
    print(f"the loop went on meanwhile: {beats > 5}")
    beating.cancel()


with Cluster() as cluster:
    asyncio.run(main(cluster))
