"""Reading data of one's own: files, folders, frames and arrays, as rows."""

from jaxdis.data.reading.coding import Kinds
from jaxdis.data.reading.columns import Columns, Field
from jaxdis.data.reading.pictures import SUFFIXES, is_image, read_images
from jaxdis.data.reading.recoding import recode
from jaxdis.data.reading.rows import TRUTH, columns_of, read

__all__ = [
    "SUFFIXES",
    "TRUTH",
    "Columns",
    "Field",
    "Kinds",
    "columns_of",
    "is_image",
    "read",
    "read_images",
    "recode",
]
