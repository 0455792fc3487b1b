"""What went wrong with an S3 store, for people: each failure says what to do about it, and none holds a key."""

from __future__ import annotations

from collections.abc import Mapping

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ProxyConnectionError,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)
from botocore.parsers import ResponseParserError

DENIED = "denied: the key may not do this there (it needs to list the bucket, and to read, write and delete in it)"
NO_BUCKET = "there is no such bucket: make it first"
CLOCK = "this machine's clock and the store's differ too much: set the clock"
REGION = "the bucket is in another region"
WORDS: Mapping[str, str] = {
    "NoSuchBucket": NO_BUCKET,
    "404": "there is no such bucket, or what answers there is no S3 store",
    "InvalidBucketName": "the store does not take the bucket's name",
    "AccessDenied": DENIED,
    "AllAccessDisabled": DENIED,
    "403": DENIED,
    "InvalidAccessKeyId": "denied: the store does not know the access key",
    "SignatureDoesNotMatch": "denied: the secret is not the access key's",
    "ExpiredToken": "denied: the key has expired",
    "RequestTimeTooSkewed": CLOCK,
    "RequestExpired": CLOCK,
    "AuthorizationHeaderMalformed": REGION,
    "PermanentRedirect": REGION,
    "IllegalLocationConstraintException": REGION,
    "301": REGION,
    "NoSuchKey": "it is not there (any more)",
    "NoSuchUpload": "the upload was ended by somebody else",
    "PreconditionFailed": "it was changed meanwhile",
    "BadDigest": "what arrived is not what was sent",
    "XAmzContentSHA256Mismatch": "what arrived is not what was sent",
    "QuotaExceeded": "the store is full: its quota is used up",
    "XMinioStorageFull": "the store is full",
    "InsufficientStorage": "the store is full",
    "EntityTooLarge": "it is larger than the store takes",
    "SlowDown": "the store is too busy",
    "ServiceUnavailable": "the store is too busy",
    "503": "the store is too busy",
}
UNREACHABLE = (EndpointConnectionError, ConnectTimeoutError, ProxyConnectionError)
BROKEN = (ConnectionClosedError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError)


def words_of(problem: ClientError | BotoCoreError | ResponseParserError) -> str:
    """The failure in words."""
    if isinstance(problem, ClientError):
        told = problem.response.get("Error", {})
        code, header = str(told.get("Code", "")), problem.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        if words := WORDS.get(code):
            region = header.get("x-amz-bucket-region") or told.get("Region")
            return f"{words}: {region}" if words is REGION and region else words
        return f"the store answers {code or 'an error'}: {str(told.get('Message', ''))[:120]}"
    if isinstance(problem, SSLError):
        return f"TLS: {_reason(problem)}"
    if isinstance(problem, UNREACHABLE):
        return f"unreachable: {_reason(problem)}"
    if isinstance(problem, BROKEN):
        return "the connection broke, or nothing came over it for a minute"
    if isinstance(problem, ResponseParserError):
        return "what answers there is no S3 store"
    if isinstance(problem, HTTPClientError):
        return f"unreachable: {_reason(problem)}"
    return str(problem)[:160]


REASONS: Mapping[str, str] = {
    "self-signed certificate": "its certificate is signed by nobody known here (AWS_CA_BUNDLE names who is)",
    "unable to get local issuer": "its certificate is signed by nobody known here (AWS_CA_BUNDLE names who is)",
    "Hostname mismatch": "its certificate is for another name",
    "IP address mismatch": "its certificate is for another address",
    "certificate has expired": "its certificate has expired",
    "not yet valid": "its certificate is not valid yet: is the clock right?",
    "WRONG_VERSION_NUMBER": "it does not speak TLS there: is it http://?",
    "wrong version number": "it does not speak TLS there: is it http://?",
    "RECORD_LAYER_FAILURE": "it does not speak TLS there: is it http://?",
    "record layer failure": "it does not speak TLS there: is it http://?",
    "Connection refused": "nothing listens there",
    "Name or service not known": "its name is not known",
    "name resolution": "its name could not be looked up",
    "No address associated": "its name has no address",
    "No route to host": "no route to it",
    "unreachable": "no route to its network",
    "timed out": "no answer in time",
    "timeout": "no answer in time",
}


def _reason(problem: BotoCoreError) -> str:
    told = f"{problem} {problem.kwargs.get('error', '')}"
    return next((words for part, words in REASONS.items() if part in told), str(problem)[-120:])
