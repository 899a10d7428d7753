"""Runs attempts in a Kubernetes cluster: the executor ``kubernetes``.

executor.py   the door, and its settings
service.py    Jobs made and deleted, one watch for all their Pods
cluster.py    which cluster
objects.py    the manifests
pods.py       what the state of a Pod means for the element it runs

What is not peculiar to Kubernetes is in `hepflow.arrays`.
"""

from hepflow_kubernetes.executor import KubernetesExecutor

__all__ = ["KubernetesExecutor"]
