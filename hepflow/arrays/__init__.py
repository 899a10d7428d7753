"""What executors have in common that hand arrays of containers to a service on the web: Kubernetes, the clouds.

    executor.py    the door: attempts gathered into arrays by what they ask for
    watching.py    what becomes of them
    service.py     what such a service must be able to do, and what it says
    batches.py     what was asked for, kept until the run is over
    posts.py       how orders and files get there and results back: a shared file system
    buckets.py     the same through an object store, by signed links
    desk.py        calls that take their time, made on threads

Must never know which service it is.
"""
