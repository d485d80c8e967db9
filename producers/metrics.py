"""What producers count, for Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

STORED = Counter(
    "lesionstream_stored_total", "C-STORE requests answered, by DICOM status.", ["status"]
)
STORE_SECONDS = Histogram(
    "lesionstream_store_seconds",
    "From the last byte of an object to the answer to its C-STORE.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
FRAMES_PUBLISHED = Counter(
    "lesionstream_frames_published_total", "Frames that all in-sync replicas have."
)
UNUSABLE = Counter(
    "lesionstream_unusable_total", "Objects or frames that cannot be used, by reason.", ["reason"]
)
BURNED_IN = Counter(
    "lesionstream_burned_in_total",
    "Frames whose pixels show (yes) or may show (possible) a name, by what the device says.",
    ["annotation"],
)
ASSOCIATIONS_REJECTED = Counter(
    "lesionstream_associations_rejected_total", "Associations rejected: foreign AE titles, limits."
)
SPOOLED = Counter(
    "lesionstream_spooled_total", "Messages put into the spool because no broker took them."
)
SPOOL_SENT = Counter("lesionstream_spool_sent_total", "Messages sent from the spool.")

WATCHED = Counter(
    "lesionstream_watched_files_total",
    "Files of watched folders that are done: published, or with something in quarantine.",
    ["outcome"],
)
WAITING = Gauge(
    "lesionstream_watched_files_waiting", "Files of watched folders that are not done yet."
)
