"""From event tables to the session store: order, merge of vocabularies, shards."""
