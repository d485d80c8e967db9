"""What engines trained on LUNA16 say of their data, and which images they take."""

from engines.card import CT_CLASSES, Accepted, DataSource

CHEST_CT = Accepted(
    modalities=("CT",),
    sop_class_uids=CT_CLASSES,
    body_parts=("CHEST", "THORAX", "LUNG", "WHOLEBODY", "WHOLE BODY"),
)


def luna_sources(use: str) -> tuple[DataSource, ...]:
    """Name the sources of the LUNA16 slices; `use` says what they served for."""
    return (
        DataSource(
            name="LUNA16, axial slices through annotated nodules",
            licence="CC BY 4.0",
            use=use,
            cite="Setio et al., Med Image Anal 42:1-13, 2017, doi:10.1016/j.media.2017.06.015",
        ),
        DataSource(
            name="LIDC-IDRI, the scans and readings below LUNA16",
            licence="CC BY 3.0",
            use="as above; patients LIDC-IDRI-0001 and -0003 left out everywhere",
            cite="Armato et al., Med Phys 38:915-931, 2011, doi:10.1118/1.3528204; "
            "data doi:10.7937/K9/TCIA.2015.LO9QL9SX",
        ),
    )
