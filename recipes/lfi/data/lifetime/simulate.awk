# Counts decay times in ten bins of 1 microsecond: an exponential over a flat background, 400 events.
# Reads a table of parameters (tau, background) with a head, writes one line of counts for each.
BEGIN { FS = ","; srand(seed) }
NR > 1 {
    split("", counts)
    for (event = 0; event < 400; event++) {
        time = rand() < $2 ? 10 * rand() : -$1 * log(1 - rand())
        counts[int(time)]++
    }
    line = counts[0] + 0
    for (bin = 1; bin < 10; bin++) line = line "," (counts[bin] + 0)
    print line
}
