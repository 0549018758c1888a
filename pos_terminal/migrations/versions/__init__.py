# SPDX-License-Identifier: Apache-2.0
"""One file a change of the schema, chained by `down_revision`; none is ever edited."""
