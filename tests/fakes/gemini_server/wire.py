"""The messages of the wire as Google's reference describes them (v1beta): camel case, and no field beyond it.

Written from the API's reference and not from the code on either side; read by `witness.Witness`.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, StringConstraints, model_validator

Int32 = Annotated[int, Field(strict=True, ge=-(2**31), lt=2**31)]
Count = Annotated[int, Field(strict=True, ge=1, lt=2**31)]  # a count of nothing is left out
Int64 = Annotated[str, StringConstraints(pattern=r"^[1-9]\d*$")]  # 64 bits are text in protobuf's JSON
Unit = Annotated[float, Field(ge=0, le=1)]
Stamp = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.(\d{3}|\d{6}|\d{9}))?Z$")]
Duration = Annotated[str, StringConstraints(pattern=r"^\d+(\.(\d{3}|\d{6}|\d{9}))?s$")]
ModelName = Annotated[str, StringConstraints(pattern=r"^models/[a-z0-9.\-]+$")]
BatchName = Annotated[str, StringConstraints(pattern=r"^batches/[a-z0-9]+$")]
FileName = Annotated[str, StringConstraints(pattern=r"^files/[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$")]
DisplayName = Annotated[str, StringConstraints(min_length=1, max_length=512)]
Category = Literal[
    "HARM_CATEGORY_HARASSMENT", "HARM_CATEGORY_HATE_SPEECH", "HARM_CATEGORY_SEXUALLY_EXPLICIT",
    "HARM_CATEGORY_DANGEROUS_CONTENT",
]  # fmt: skip
# fmt: off
_KEYWORDS = frozenset({
    "$id", "$defs", "$ref", "$anchor", "type", "format", "title", "description", "enum", "items", "prefixItems",
    "minItems", "maxItems", "minimum", "maximum", "anyOf", "oneOf", "properties", "additionalProperties", "required",
    "propertyOrdering",
})
# fmt: on


class Wire(BaseModel):
    """A message: camel case, and nothing beyond its fields."""

    model_config = ConfigDict(extra="forbid", strict=True)


# --- requests ---------------------------------------------------------------------------------------------------------


class TextPart(Wire):
    text: Annotated[str, Field(min_length=1)]


class Turn(Wire):
    role: Literal["user", "model"]
    parts: Annotated[list[TextPart], Field(min_length=1)]


class Instruction(Wire):
    role: Literal["user", "system"] | None = None
    parts: Annotated[list[TextPart], Field(min_length=1)]


class Thinking(Wire):
    thinkingBudget: Int32 | None = None
    thinkingLevel: Literal["MINIMAL", "LOW", "MEDIUM", "HIGH"] | None = None

    @model_validator(mode="after")
    def _one(self) -> Thinking:
        if (self.thinkingBudget is None) == (self.thinkingLevel is None):
            raise ValueError("thinking_budget and thinking_level are not supported together")
        return self


class Generation(Wire):
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    topP: Unit | None = None
    maxOutputTokens: Annotated[Int32, Field(ge=1, le=65536)] | None = None
    seed: Int32 | None = None
    stopSequences: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1, max_length=5)] | None = None
    responseMimeType: Literal["text/plain", "application/json"] | None = None
    responseJsonSchema: dict[str, Any] | None = None
    thinkingConfig: Thinking | None = None

    @model_validator(mode="after")
    def _form(self) -> Generation:
        if self.responseJsonSchema is not None:
            if self.responseMimeType != "application/json":
                raise ValueError("responseJsonSchema needs responseMimeType application/json")
            check_schema(self.responseJsonSchema, self.responseJsonSchema)
        return self


class Safety(Wire):
    category: Category
    threshold: Literal["BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF"]


class Question(Wire):
    """A `GenerateContentRequest`, as far as text is asked for text."""

    contents: Annotated[list[Turn], Field(min_length=1)]
    systemInstruction: Instruction | None = None
    generationConfig: Generation | None = None
    safetySettings: Annotated[list[Safety], Field(max_length=4)] | None = None

    @model_validator(mode="after")
    def _sense(self) -> Question:
        roles = [turn.role for turn in self.contents]
        if any(before == after for before, after in pairwise(roles)):
            raise ValueError(f"turns do not alternate: {roles}")
        categories = [one.category for one in self.safetySettings or ()]
        if len(set(categories)) != len(categories):
            raise ValueError("a category is set twice")
        return self

    def fits(self, model: str) -> None:
        """Refuse what this model does not take.

        Raises:
            ValueError: With the reason.
        """
        found = re.match(r"(?:models/)?gemini-(\d+)(?:\.(\d+))?", model)
        generation = (int(found[1]), int(found[2] or 0)) if found else (0, 0)
        config = self.generationConfig or Generation()
        major, minor = generation
        own = major > 3 or (major == 3 and minor >= (5 if "flash-lite" in model else 6))
        if own and (config.temperature is not None or config.topP is not None):
            raise ValueError(f"{model} takes no sampling parameters")
        if own and self.contents[-1].role == "model":
            raise ValueError("Requests ending with a model turn are not supported.")
        thinking = config.thinkingConfig or Thinking.model_construct()
        if thinking.thinkingLevel and major < 3:
            raise ValueError("Thinking level is not supported for this model.")
        if own and thinking.thinkingBudget is not None:
            raise ValueError(f"{model} takes no thinking budget")


class Metadata(Wire):
    key: Annotated[str, Field(min_length=1)]


class InlinedRow(Wire):
    request: Question
    metadata: Metadata


class InlinedRows(Wire):
    requests: Annotated[list[InlinedRow], Field(min_length=1)]


class Input(Wire):
    requests: InlinedRows | None = None
    fileName: FileName | None = None

    @model_validator(mode="after")
    def _one(self) -> Input:
        if (self.requests is None) == (self.fileName is None):
            raise ValueError("exactly one of requests and fileName")
        return self


class NewBatch(Wire):
    displayName: DisplayName
    inputConfig: Input


class CreateBatch(Wire):
    batch: NewBatch


class FileRow(Wire):
    key: Annotated[str, Field(min_length=1)]
    request: Question


def _either(camel: str, snake: str) -> Any:
    return Field(validation_alias=AliasChoices(camel, snake))


class NewFile(Wire):
    """Protobuf's JSON takes both cases, and the SDK writes this one message in snake case."""

    name: FileName
    displayName: DisplayName = _either("displayName", "display_name")
    mimeType: Literal["application/jsonl"] = _either("mimeType", "mime_type")
    sizeBytes: int | Int64 = _either("sizeBytes", "size_bytes")


class CreateFile(Wire):
    file: NewFile


def check_schema(schema: Any, root: dict[str, Any], place: str = "#") -> None:
    """Hold a JSON schema to the documented part of the language.

    Raises:
        ValueError: A word that Gemini does not know, or a reference to nothing.
    """
    if isinstance(schema, bool):
        return
    if beyond := set(schema) - _KEYWORDS:
        raise ValueError(f"{place}: not in Gemini's part of JSON schema: {sorted(beyond)}")
    if "$ref" in schema:
        if any(not word.startswith("$") for word in schema):
            raise ValueError(f"{place}: words beside $ref")
        name = str(schema["$ref"]).removeprefix("#/$defs/")
        if schema["$ref"] != "#" and name not in root.get("$defs", {}):
            raise ValueError(f"{place}: {schema['$ref']} is not there")
    if any(isinstance(one, bool) or not isinstance(one, str | int | float) for one in schema.get("enum", ())):
        raise ValueError(f"{place}: an enum of something other than texts and numbers")
    if missing := set(schema.get("required", ())) - set(schema.get("properties", {})):
        raise ValueError(f"{place}: required and no property: {sorted(missing)}")
    for word in ("$defs", "properties"):
        for name, part in schema.get(word, {}).items():
            check_schema(part, root, f"{place}/{word}/{name}")
    for word in ("prefixItems", "anyOf", "oneOf"):
        for number, part in enumerate(schema.get(word, ())):
            check_schema(part, root, f"{place}/{word}/{number}")
    for word in ("items", "additionalProperties"):
        check_schema(schema.get(word, True), root, f"{place}/{word}")


# --- answers ----------------------------------------------------------------------------------------------------------


class AnswerPart(Wire):
    text: str
    thought: Literal[True] | None = None
    thoughtSignature: str | None = None


class AnswerContent(Wire):
    role: Literal["model"]
    parts: Annotated[list[AnswerPart], Field(min_length=1)] | None = None


class Rating(Wire):
    category: Category
    probability: Literal["NEGLIGIBLE", "LOW", "MEDIUM", "HIGH"]
    blocked: Literal[True] | None = None


class Source(Wire):
    startIndex: Int32 | None = None
    endIndex: Int32 | None = None
    uri: str | None = None
    license: str | None = None


class Citations(Wire):
    citationSources: list[Source]


class Candidate(Wire):
    content: AnswerContent | None = None
    finishReason: Literal[
        "FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "LANGUAGE", "OTHER", "BLOCKLIST",
        "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_OTHER", "NO_IMAGE", "IMAGE_RECITATION", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE", "ESCALATION", "PUP_LIMITED_DISABLED", "CONTINUATION",
    ] | None = None  # fmt: skip
    finishMessage: str | None = None
    safetyRatings: list[Rating] | None = None
    citationMetadata: Citations | None = None
    tokenCount: Count | None = None
    index: Int32 | None = None
    avgLogprobs: float | None = None


class Modality(Wire):
    modality: Literal["TEXT"]
    tokenCount: Count


class Used(Wire):
    promptTokenCount: Count | None = None
    cachedContentTokenCount: Count | None = None
    candidatesTokenCount: Count | None = None
    thoughtsTokenCount: Count | None = None
    toolUsePromptTokenCount: Count | None = None
    totalTokenCount: Count | None = None
    promptTokensDetails: list[Modality] | None = None
    candidatesTokensDetails: list[Modality] | None = None
    cacheTokensDetails: list[Modality] | None = None
    serviceTier: str | None = None

    @model_validator(mode="after")
    def _sums(self) -> Used:
        parts = (self.promptTokenCount, self.candidatesTokenCount, self.thoughtsTokenCount)
        if (self.totalTokenCount or 0) != sum(part or 0 for part in parts):
            raise ValueError(f"the total {self.totalTokenCount} is not the sum of {parts}")
        for counted, details in (
            (self.promptTokenCount, self.promptTokensDetails),
            (self.cachedContentTokenCount, self.cacheTokensDetails),
        ):
            if details is not None and sum(one.tokenCount for one in details) != (counted or 0):
                raise ValueError("the details are not the sum")
        return self


class Feedback(Wire):
    blockReason: Literal["SAFETY", "OTHER", "BLOCKLIST", "PROHIBITED_CONTENT", "IMAGE_SAFETY"] | None = None
    safetyRatings: list[Rating] | None = None


class Reply(Wire):
    """A `GenerateContentResponse`."""

    candidates: Annotated[list[Candidate], Field(min_length=1, max_length=1)] | None = None
    promptFeedback: Feedback | None = None
    usageMetadata: Used
    modelVersion: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.\-]+$")]
    responseId: Annotated[str, Field(min_length=1)]


class Status(Wire):
    """A `google.rpc.Status` within an operation or a row."""

    code: Annotated[Int32, Field(ge=1, le=16)]
    message: str
    details: list[dict[str, Any]] | None = None


class RowReply(Wire):
    response: Reply | None = None
    error: Status | None = None

    @model_validator(mode="after")
    def _one(self) -> RowReply:
        if (self.response is None) == (self.error is None):
            raise ValueError("exactly one of response and error")
        return self


class InlinedReply(RowReply):
    metadata: Metadata | None = None


class FiledReply(RowReply):
    key: str


class InlinedReplies(Wire):
    inlinedResponses: list[InlinedReply] | None = None


class Output(Wire):
    inlinedResponses: InlinedReplies | None = None
    responsesFile: FileName | None = None


class TypedOutput(Output):
    type_: Literal["type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatchOutput"] = Field(
        alias="@type"
    )


class Stats(Wire):
    requestCount: Int64
    successfulRequestCount: Int64 | None = None
    failedRequestCount: Int64 | None = None
    pendingRequestCount: Int64 | None = None

    @model_validator(mode="after")
    def _sums(self) -> Stats:
        told = (self.successfulRequestCount, self.failedRequestCount, self.pendingRequestCount)
        if sum(int(one or 0) for one in told) > int(self.requestCount):
            raise ValueError("more rows than there are")
        return self


class ShownInput(Wire):
    fileName: FileName


class BatchShown(Wire):
    type_: Literal["type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch"] = Field(
        alias="@type"
    )
    name: BatchName
    model: ModelName
    displayName: DisplayName
    inputConfig: ShownInput | None = None
    output: Output | None = None
    createTime: Stamp
    updateTime: Stamp
    endTime: Stamp | None = None
    batchStats: Stats
    state: Literal[
        "BATCH_STATE_PENDING", "BATCH_STATE_RUNNING", "BATCH_STATE_SUCCEEDED", "BATCH_STATE_FAILED",
        "BATCH_STATE_CANCELLED", "BATCH_STATE_EXPIRED",
    ]  # fmt: skip
    priority: Int64 | None = None


class Operation(Wire):
    """A batch: a `google.longrunning.Operation`."""

    name: BatchName
    metadata: BatchShown
    done: Literal[True] | None = None
    response: TypedOutput | None = None
    error: Status | None = None

    @model_validator(mode="after")
    def _sense(self) -> Operation:
        ended = self.metadata.state not in {"BATCH_STATE_PENDING", "BATCH_STATE_RUNNING"}
        if ended is not (self.done is True) or ended is not (self.metadata.endTime is not None):
            raise ValueError(f"{self.metadata.state} and done={self.done}, endTime={self.metadata.endTime}")
        if self.name != self.metadata.name or ended is not ((self.response is None) is not (self.error is None)):
            raise ValueError("an operation that is done has one of response and error")
        return self


class Operations(Wire):
    operations: Annotated[list[Operation], Field(min_length=1)] | None = None
    nextPageToken: Annotated[str, Field(min_length=1)] | None = None


class FileShown(Wire):
    name: FileName
    displayName: DisplayName | None = None
    mimeType: str
    sizeBytes: Int64
    createTime: Stamp
    updateTime: Stamp
    expirationTime: Stamp
    sha256Hash: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]+=*$")]
    uri: str
    downloadUri: str | None = None
    state: Literal["PROCESSING", "ACTIVE", "FAILED"]
    source: Literal["UPLOADED", "GENERATED"]


class FileMade(Wire):
    file: FileShown


# --- errors -----------------------------------------------------------------------------------------------------------


class RetryInfo(Wire):
    type_: Literal["type.googleapis.com/google.rpc.RetryInfo"] = Field(alias="@type")
    retryDelay: Duration


class Violation(Wire):
    quotaMetric: str
    quotaId: str
    quotaDimensions: dict[str, str]
    quotaValue: Int64


class QuotaFailure(Wire):
    type_: Literal["type.googleapis.com/google.rpc.QuotaFailure"] = Field(alias="@type")
    violations: Annotated[list[Violation], Field(min_length=1)]


class Link(Wire):
    description: str
    url: str


class Help(Wire):
    type_: Literal["type.googleapis.com/google.rpc.Help"] = Field(alias="@type")
    links: list[Link]


class ErrorInfo(Wire):
    type_: Literal["type.googleapis.com/google.rpc.ErrorInfo"] = Field(alias="@type")
    reason: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]+[A-Z0-9]$")]
    domain: str
    metadata: dict[str, str]


class Localized(Wire):
    type_: Literal["type.googleapis.com/google.rpc.LocalizedMessage"] = Field(alias="@type")
    locale: str
    message: str


class FieldViolation(Wire):
    field: str | None = None
    description: str


class BadRequest(Wire):
    type_: Literal["type.googleapis.com/google.rpc.BadRequest"] = Field(alias="@type")
    fieldViolations: list[FieldViolation]


class Error(Wire):
    code: int
    message: Annotated[str, Field(min_length=1)]
    status: Literal[
        "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
        "PERMISSION_DENIED", "UNAUTHENTICATED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE",
        "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
    ]  # fmt: skip
    details: (
        Annotated[list[RetryInfo | QuotaFailure | Help | ErrorInfo | Localized | BadRequest], Field(min_length=1)]
        | None
    ) = None


class Refused(Wire):
    error: Error
