// The kernels' names, once for all programs of the host: EACH(name) for every one.
#pragma once
#define T3B_KERNELS(EACH) EACH(patches) EACH(start) EACH(add_norm) EACH(attention) EACH(activate) EACH(unit_length) EACH(merge)
