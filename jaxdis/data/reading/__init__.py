"""Reading data of one's own: files, folders, frames and arrays, as rows."""

from jaxdis.data.reading.checks import check_images, check_varied
from jaxdis.data.reading.coding import Kinds
from jaxdis.data.reading.columns import Columns, Field, Fields
from jaxdis.data.reading.pictures import SUFFIXES, is_image, read_images
from jaxdis.data.reading.recoding import label_kinds, recode
from jaxdis.data.reading.rows import columns_of, gather, read

__all__ = [
    "SUFFIXES",
    "Columns",
    "Field",
    "Fields",
    "Kinds",
    "check_images",
    "check_varied",
    "columns_of",
    "gather",
    "is_image",
    "label_kinds",
    "read",
    "read_images",
    "recode",
]
