"""Runs attempts in the batch services of clouds: the executor ``clouds``.

executor.py   the door, and its settings
clouds.py     the services of all providers and regions of a site as one, asked by turns
providers.py  what a provider's service must be able to do
aws.py        AWS Batch
google.py     Google Cloud Batch
azure.py      Azure Batch
s3.py         S3, and what speaks it, as a way for files
blobs.py      Azure's Blob storage as the same
asking.py     requests to AWS, and every way in which they fail
azure_asking.py  requests to Azure, likewise

What is not peculiar to clouds is in `hepflow.arrays`.
"""

from hepflow_clouds.executor import CloudsExecutor

__all__ = ["CloudsExecutor"]
