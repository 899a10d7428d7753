"""The services by name."""

from __future__ import annotations

from . import aws_batch, azure_batch, condor, google_batch, kubernetes, moto, pbs, slurm
from .service import Service

SERVICES = {
    service.name: service
    for service in (
        Service(
            "slurm",
            start=slurm.start,
            stop=slurm.stop,
            programs=slurm.PROGRAMS,
            packages=slurm.PACKAGES,
        ),
        Service(
            "slurm_accounting",
            start=slurm.start_with_accounting,
            stop=slurm.stop,
            programs=slurm.ACCOUNTING_PROGRAMS,
            packages=slurm.ACCOUNTING_PACKAGES,
        ),
        Service("condor_stand_in", start=condor.start, modules=condor.MODULES),
        Service(
            "kubernetes_stand_in",
            start=kubernetes.start,
            programs=kubernetes.PROGRAMS,
            packages=kubernetes.PACKAGES,
            modules=kubernetes.MODULES,
        ),
        Service("pbs_stand_in", start=pbs.start),
        Service(
            "aws_batch_stand_in",
            start=aws_batch.start,
            programs=aws_batch.PROGRAMS,
            packages=aws_batch.PACKAGES,
            modules=aws_batch.MODULES,
        ),
        Service(
            "google_batch_stand_in",
            start=google_batch.start,
            programs=google_batch.PROGRAMS,
            packages=google_batch.PACKAGES,
            modules=google_batch.MODULES,
        ),
        Service(
            "azure_batch_stand_in",
            start=azure_batch.start,
            programs=azure_batch.PROGRAMS,
            packages=azure_batch.PACKAGES,
            modules=azure_batch.MODULES,
        ),
        Service("moto", start=moto.start, modules=moto.MODULES),
    )
}
