"""moto's server does what the tests of the clouds rely on, and no more."""

from __future__ import annotations

from .daemons import wait_until
from .fixtures import wanted
from .moto import Moto

boto3 = wanted("boto3")


def test_s3_keeps_what_it_is_given(moto: Moto) -> None:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket="work")
    s3.put_object(Bucket="work", Key="in/a", Body=b"bytes")
    assert s3.get_object(Bucket="work", Key="in/a")["Body"].read() == b"bytes"


def test_batch_claims_success_and_runs_nothing(moto: Moto) -> None:
    iam, batch = boto3.client("iam"), boto3.client("batch")
    role = iam.create_role(RoleName="batch", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    ec2 = boto3.client("ec2")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    environment = batch.create_compute_environment(
        computeEnvironmentName="spot",
        type="MANAGED",
        state="ENABLED",
        computeResources={
            "type": "FARGATE_SPOT",
            "maxvCpus": 4,
            "subnets": [subnet],
            "securityGroupIds": [group],
        },
        serviceRole=role,
    )["computeEnvironmentArn"]
    queue = batch.create_job_queue(
        jobQueueName="queue",
        state="ENABLED",
        priority=1,
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": environment}],
    )["jobQueueArn"]
    definition = batch.register_job_definition(
        jobDefinitionName="fails",
        type="container",
        containerProperties={"image": "any", "vcpus": 1, "memory": 64, "command": ["false"]},
    )["jobDefinitionArn"]
    job = batch.submit_job(jobName="one", jobQueue=queue, jobDefinition=definition)["jobId"]

    def status() -> str:
        return str(batch.describe_jobs(jobs=[job])["jobs"][0]["status"])

    wait_until(lambda: status() == "SUCCEEDED", "success that never was")
