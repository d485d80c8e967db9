"""What the workers count, for Prometheus. Names and labels are documented in docs/operations.md."""

from prometheus_client import Counter, Gauge, Histogram

DELAY_BUCKETS_S = (0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1, 1.5, 2.5, 5, 10, 30, 60, 300)

FINDINGS = Counter(
    "lesionstream_findings_total",
    "Frames answered, by status and reason (empty where scored).",
    ["status", "reason"],
)
FRAME_DELAY = Histogram(
    "lesionstream_frame_delay_seconds",
    "From the last byte of a frame at its producer to its finding confirmed by the broker.",
    buckets=DELAY_BUCKETS_S,
)
INFERENCE = Histogram(
    "lesionstream_inference_seconds",
    "The engine alone, a frame.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
ENGINE = Gauge(
    "lesionstream_engine_info",
    "1 for the engine in use.",
    ["name", "version", "sha256", "backend", "precision"],
)
DISAGREEMENTS = Counter(
    "lesionstream_shadow_disagreements_total",
    "Frames of which the shadow engine says otherwise than the engine in use.",
)
DEAD_LETTERS = Counter(
    "lesionstream_dead_letters_total", "Messages set aside, by reason.", ["reason"]
)
ALERTS = Counter("lesionstream_alerts_total", "Alerts said.", ["category", "priority", "phase"])
ALERT_DELAY = Histogram(
    "lesionstream_alert_delay_seconds",
    "From the last byte of a frame at its producer to the alert it caused.",
    buckets=DELAY_BUCKETS_S,
)
RECOMMENDATIONS = Counter(
    "lesionstream_recommendations_total", "Recommendations said, by action.", ["action"]
)
MODEL_ANSWERS = Counter(
    "lesionstream_model_answers_total",
    "What treatment models said of final series, by engine and status.",
    ["engine", "status"],
)
PATIENTS = Gauge("lesionstream_patients", "Patients whose state this worker keeps.")
CACHE_UP = Gauge("lesionstream_cache_up", "Whether Redis took the last write or look.")
LAG = Gauge(
    "lesionstream_lag_messages",
    "Messages that wait for a consumer group, all partitions.",
    ["group"],
)
