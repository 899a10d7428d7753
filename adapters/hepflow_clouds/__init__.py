"""The clouds: their object stores, and their batch services.

s3.py         S3 as a way for files
"""
