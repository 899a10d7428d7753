"""Machines of an Azure Batch job's own: what they are, and why there are none.

Owns how Azure spells them. Must never know an attempt. Facts: the reference of the Batch service, 2025-06-01 (what a
pool says of its size, and of why it has another one than it should), and Azure's page on errors of pools.
"""

from __future__ import annotations

from typing import Any, Final

from azure.batch import models

from hepflow.model.site import Queue, Site, text
from hepflow.model.task import Reason

SYSTEM: Final = "microsoft-dsvm:ubuntu-hpc:2204:batch.node.ubuntu 22.04"
"""What they run where the site does not say: publisher, offer, SKU, and Batch's agent. It has a
container runtime and drivers of GPUs."""

POOL: Final = ["id", "allocationState", "currentDedicatedNodes", "currentLowPriorityNodes", "resizeErrors"]  # fmt: skip
LASTING: Final = ("quota", "unavailablevmsize", "invalid", "unsupported", "unauthorized")
"""In small letters, what is in the code of an error that asking again later does not help against."""


def specified(site: Site, queue: Queue, count: int, slots: int) -> Any:
    """So many machines for one job, until its end."""
    settings = site.settings_for(queue)
    publisher, offer, sku, agent = (text(settings, "system") or SYSTEM).split(":")
    return models.BatchAutoPoolSpecification(
        auto_pool_id_prefix="hepflow",
        pool_lifetime_option=models.BatchPoolLifetimeOption.JOB,
        pool=models.BatchPoolSpecification(
            vm_size=text(settings, "machine"),
            task_slots_per_node=slots,
            target_dedicated_nodes=0 if queue.preemptible else count,
            target_low_priority_nodes=count if queue.preemptible else 0,
            virtual_machine_configuration=models.VirtualMachineConfiguration(
                image_reference=models.BatchVmImageReference(
                    publisher=publisher, offer=offer, sku=sku, version="latest"
                ),
                node_agent_sku_id=agent,
                container_configuration=models.BatchContainerConfiguration(
                    type=models.ContainerType.DOCKER_COMPATIBLE
                ),
            ),
        ),
    )


def job_fault(job: Any) -> tuple[Reason, str] | None:
    """Why a job never got a pool of its own, and what that means for its tasks."""
    error = job.execution_info.scheduling_error if job.execution_info else None
    return None if error is None else _fault([error])


def pool_fault(pool: Any) -> tuple[Reason, str] | None:
    """Why a pool has no machine and will get none; nothing where it has some, or is about to."""
    nodes = (pool.current_dedicated_nodes or 0) + (pool.current_low_priority_nodes or 0)
    if nodes or not pool.resize_errors or pool.allocation_state != models.AllocationState.STEADY:
        return None
    return _fault(pool.resize_errors)


def _fault(errors: list[Any]) -> tuple[Reason, str]:
    told = "; ".join(" ".join(f"{error.code}: {error.message}".split()) for error in errors)
    codes = " ".join(str(error.code) for error in errors).lower()
    reason = Reason.REJECTED if any(word in codes for word in LASTING) else Reason.NODE
    return reason, f"Azure Batch got no machine for it ({told})"
